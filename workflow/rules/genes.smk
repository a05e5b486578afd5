rule genes:
    input:
        rows=ancient(forest.rows),
        ledgers=forest.ledgers("genes"),
    output:
        f"{forest.root}/ledger/genes/shard={{shard}}.parquet",
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
        config=forest.config_path,
    shell:
        "gemforest genes --shard {wildcards.shard} --cores {threads} --config {params.config}"
        " --asked {resources.mem_mb}:{resources.runtime} 2> {log}"
