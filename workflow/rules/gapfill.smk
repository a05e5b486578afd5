rule gapfill:
    input:
        forest.ledgers("gapfill"),
    output:
        forest.outputs("gapfill"),
    log:
        "logs/gapfill/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    threads: forest.cores("gapfill")
    resources:
        mem_mb=forest.memory_mb("gapfill"),
        runtime=forest.minutes("gapfill"),
    params:
        settings=forest.settings("gapfill"),
        rows=forest.row_facts("gapfill"),
    shell:
        forest.command("gapfill")
