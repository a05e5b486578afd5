rule fetch:
    input:
        rows=ancient(forest.rows),
    output:
        f"{forest.root}/ledger/fetch/shard={{shard}}.parquet",
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
        config=forest.config_path,
    shell:
        "gemforest fetch --shard {wildcards.shard} --cores {threads} --config {params.config}"
        " --asked {resources.mem_mb}:{resources.runtime} 2> {log}"
