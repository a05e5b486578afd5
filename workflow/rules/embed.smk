rule embed:
    input:
        rows=forest.rows,
        ledgers=forest.ledgers("embed"),
    output:
        f"{forest.root}/ledger/embed/shard={{shard}}.parquet",
    log:
        "logs/embed/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    resources:
        gpu=forest.gpus,
    params:
        settings=forest.settings("embed"),
        config=forest.config_path,
    shell:
        "gemforest embed --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
