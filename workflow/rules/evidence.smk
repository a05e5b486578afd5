rule evidence:
    input:
        rows=forest.rows,
        ledgers=forest.ledgers("evidence"),
    output:
        f"{forest.root}/ledger/evidence/shard={{shard}}.parquet",
    params:
        settings=forest.settings("evidence"),
        config=forest.config_path,
    log:
        "logs/evidence/shard={shard}.log",
    shell:
        "gemforest evidence --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
