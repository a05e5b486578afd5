rule simulate:
    input:
        rows=ancient(forest.rows),
        ledgers=forest.ledgers("simulate"),
    output:
        f"{forest.root}/ledger/simulate/shard={{shard}}.parquet",
    log:
        "logs/simulate/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    threads: forest.cores("simulate")
    resources:
        mem_mb=forest.memory_mb("simulate"),
        runtime=forest.minutes("simulate"),
    params:
        settings=forest.settings("simulate"),
        rows=forest.row_facts("simulate"),
        config=forest.config_path,
    shell:
        "gemforest simulate --shard {wildcards.shard} --cores {threads} --config {params.config}"
        " --asked {resources.mem_mb}:{resources.runtime} 2> {log}"
