rule homology:
    input:
        rows=forest.rows,
        ledgers=forest.ledgers("homology"),
    output:
        f"{forest.root}/ledger/homology/shard={{shard}}.parquet",
    log:
        "logs/homology/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    params:
        settings=forest.settings("homology"),
        config=forest.config_path,
    shell:
        "gemforest homology --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
