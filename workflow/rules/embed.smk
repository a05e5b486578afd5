rule embed:
    input:
        forest.ledgers("embed"),
    output:
        forest.outputs("embed"),
    log:
        "logs/embed/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    threads: forest.cores("embed")
    resources:
        mem_mb=forest.memory_mb("embed"),
        runtime=forest.minutes("embed"),
        gpu=forest.gpus,
        # The profile allows one inside a job: shards of a batch go one after another.
        encoder=int(forest.config["embed"]["enabled"]),
    params:
        settings=forest.settings("embed"),
        rows=forest.row_facts("embed"),
    shell:
        forest.command("embed")
