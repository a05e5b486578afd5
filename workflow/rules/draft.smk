rule draft:
    input:
        rows=ancient(forest.rows),
        ledgers=forest.ledgers("draft"),
    output:
        f"{forest.root}/ledger/draft/shard={{shard}}.parquet",
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
        config=forest.config_path,
    shell:
        "gemforest draft --shard {wildcards.shard} --cores {threads} --config {params.config}"
        " --asked {resources.mem_mb}:{resources.runtime} 2> {log}"
