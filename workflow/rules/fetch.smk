rule fetch:
    input:
        rows=forest.rows,
    output:
        f"{forest.root}/ledger/fetch/shard={{shard}}.parquet",
    params:
        settings=forest.settings("fetch"),
        config=forest.config_path,
    log:
        "logs/fetch/shard={shard}.log",
    shell:
        "gemforest fetch --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
