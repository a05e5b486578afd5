rule homology:
    input:
        forest.ledgers("homology"),
    output:
        forest.outputs("homology"),
    log:
        "logs/homology/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    threads: forest.cores("homology")
    resources:
        mem_mb=forest.memory_mb("homology"),
        runtime=forest.minutes("homology"),
    params:
        settings=forest.settings("homology"),
        rows=forest.row_facts("homology"),
    shell:
        forest.command("homology")
