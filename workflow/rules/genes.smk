rule genes:
    input:
        forest.ledgers("genes"),
    output:
        forest.outputs("genes"),
    log:
        "logs/genes/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    threads: forest.cores("genes")
    resources:
        mem_mb=forest.memory_mb("genes"),
        runtime=forest.minutes("genes"),
    params:
        settings=forest.settings("genes"),
        rows=forest.row_facts("genes"),
    shell:
        forest.command("genes")
