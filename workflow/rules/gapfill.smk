rule gapfill:
    input:
        rows=ancient(forest.rows),
        ledgers=forest.ledgers("gapfill"),
    output:
        f"{forest.root}/ledger/gapfill/shard={{shard}}.parquet",
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
        config=forest.config_path,
    shell:
        "gemforest gapfill --shard {wildcards.shard} --cores {threads} --config {params.config}"
        " --asked {resources.mem_mb}:{resources.runtime} 2> {log}"
