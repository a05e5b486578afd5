rule evidence:
    input:
        rows=forest.rows,
        ledgers=forest.ledgers("evidence"),
    output:
        f"{forest.root}/ledger/evidence/shard={{shard}}.parquet",
    log:
        "logs/evidence/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    params:
        settings=forest.settings("evidence"),
        config=forest.config_path,
    shell:
        "gemforest evidence --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
