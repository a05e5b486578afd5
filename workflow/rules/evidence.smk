rule evidence:
    input:
        forest.ledgers("evidence"),
    output:
        forest.outputs("evidence"),
    log:
        "logs/evidence/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    threads: forest.cores("evidence")
    resources:
        mem_mb=forest.memory_mb("evidence"),
        runtime=forest.minutes("evidence"),
    params:
        settings=forest.settings("evidence"),
        rows=forest.row_facts("evidence"),
    shell:
        forest.command("evidence")
