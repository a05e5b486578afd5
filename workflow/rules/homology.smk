rule homology:
    input:
        rows=ancient(forest.rows),
        ledgers=forest.ledgers("homology"),
    output:
        f"{forest.root}/ledger/homology/shard={{shard}}.parquet",
    log:
        "logs/homology/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    threads: forest.cores("homology")
    resources:
        mem_mb=forest.memory_mb("homology"),
        runtime=forest.minutes("homology"),
    params:
        settings=forest.settings("homology"),
        rows=forest.row_facts("homology"),
        config=forest.config_path,
    shell:
        "gemforest homology --shard {wildcards.shard} --cores {threads} --config {params.config}"
        " --asked {resources.mem_mb}:{resources.runtime} 2> {log}"
