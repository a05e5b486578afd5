rule evidence:
    input:
        rows=ancient(forest.rows),
        ledgers=forest.ledgers("evidence"),
    output:
        f"{forest.root}/ledger/evidence/shard={{shard}}.parquet",
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
        config=forest.config_path,
    shell:
        "gemforest evidence --shard {wildcards.shard} --cores {threads} --config {params.config}"
        " --asked {resources.mem_mb}:{resources.runtime} 2> {log}"
