rule kinetics:
    input:
        rows=ancient(forest.rows),
        ledgers=forest.ledgers("kinetics"),
    output:
        f"{forest.root}/ledger/kinetics/shard={{shard}}.parquet",
    log:
        "logs/kinetics/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    threads: forest.cores("kinetics")
    resources:
        mem_mb=forest.memory_mb("kinetics"),
        runtime=forest.minutes("kinetics"),
    params:
        settings=forest.settings("kinetics"),
        rows=forest.row_facts("kinetics"),
        config=forest.config_path,
    shell:
        "gemforest kinetics --shard {wildcards.shard} --cores {threads} --config {params.config}"
        " --asked {resources.mem_mb}:{resources.runtime} 2> {log}"
