rule draft:
    input:
        forest.ledgers("draft"),
    output:
        forest.outputs("draft"),
    log:
        "logs/draft/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    threads: forest.cores("draft")
    resources:
        mem_mb=forest.memory_mb("draft"),
        runtime=forest.minutes("draft"),
    params:
        settings=forest.settings("draft"),
        rows=forest.row_facts("draft"),
    shell:
        forest.command("draft")
