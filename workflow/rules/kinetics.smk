rule kinetics:
    input:
        rows=forest.rows,
        ledgers=forest.ledgers("kinetics"),
    output:
        f"{forest.root}/ledger/kinetics/shard={{shard}}.parquet",
    log:
        "logs/kinetics/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    params:
        settings=forest.settings("kinetics"),
        config=forest.config_path,
    shell:
        "gemforest kinetics --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
