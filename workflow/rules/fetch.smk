rule fetch:
    input:
        ancient(forest.rows),
    output:
        forest.outputs("fetch"),
    log:
        "logs/fetch/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    threads: forest.cores("fetch")
    resources:
        mem_mb=forest.memory_mb("fetch"),
        runtime=forest.minutes("fetch"),
        ncbi=forest.ncbi,
    params:
        settings=forest.settings("fetch"),
        rows=forest.row_facts("fetch"),
    shell:
        forest.command("fetch")
