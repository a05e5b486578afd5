rule embed:
    input:
        rows=ancient(forest.rows),
        ledgers=forest.ledgers("embed"),
    output:
        f"{forest.root}/ledger/embed/shard={{shard}}.parquet",
    log:
        "logs/embed/shard={shard}.log",
    # Switched off it takes a second: no job for that.
    localrule: not forest.config["embed"]["enabled"]
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
        config=forest.config_path,
    shell:
        "gemforest embed --shard {wildcards.shard} --cores {threads} --config {params.config}"
        " --asked {resources.mem_mb}:{resources.runtime} 2> {log}"
