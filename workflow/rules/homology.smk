rule homology:
    input:
        rows=forest.rows,
        ledgers=forest.ledgers("homology"),
    output:
        f"{forest.root}/ledger/homology/shard={{shard}}.parquet",
    params:
        settings=forest.settings("homology"),
        config=forest.config_path,
    log:
        "logs/homology/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    shell:
        "gemforest homology --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
