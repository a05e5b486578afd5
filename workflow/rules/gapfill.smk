rule gapfill:
    input:
        rows=forest.rows,
        ledgers=forest.ledgers("gapfill"),
    output:
        f"{forest.root}/ledger/gapfill/shard={{shard}}.parquet",
    params:
        settings=forest.settings("gapfill"),
        config=forest.config_path,
    log:
        "logs/gapfill/shard={shard}.log",
    shell:
        "gemforest gapfill --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
