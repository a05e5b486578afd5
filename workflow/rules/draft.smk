rule draft:
    input:
        rows=forest.rows,
        ledgers=forest.ledgers("draft"),
    output:
        f"{forest.root}/ledger/draft/shard={{shard}}.parquet",
    params:
        settings=forest.settings("draft"),
        config=forest.config_path,
    log:
        "logs/draft/shard={shard}.log",
    shell:
        "gemforest draft --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
