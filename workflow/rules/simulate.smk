rule simulate:
    input:
        forest.ledgers("simulate"),
    output:
        forest.outputs("simulate"),
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
    shell:
        forest.command("simulate")
