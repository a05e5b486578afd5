rule kinetics:
    input:
        forest.ledgers("kinetics"),
    output:
        forest.outputs("kinetics"),
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
    shell:
        forest.command("kinetics")
