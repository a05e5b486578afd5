rule genes:
    input:
        rows=forest.rows,
        ledgers=forest.ledgers("genes"),
    output:
        f"{forest.root}/ledger/genes/shard={{shard}}.parquet",
    params:
        settings=forest.settings("genes"),
        config=forest.config_path,
    log:
        "logs/genes/shard={shard}.log",
    shell:
        "gemforest genes --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
