rule gapfill:
    input:
        rows=forest.rows,
        ledgers=forest.ledgers("gapfill"),
    output:
        f"{forest.root}/ledger/gapfill/shard={{shard}}.parquet",
    log:
        "logs/gapfill/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    params:
        settings=forest.settings("gapfill"),
        config=forest.config_path,
    shell:
        "gemforest gapfill --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
