rule fetch:
    input:
        rows=forest.rows,
    output:
        f"{forest.root}/ledger/fetch/shard={{shard}}.parquet",
    log:
        "logs/fetch/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    resources:
        ncbi=forest.ncbi,
    params:
        settings=forest.settings("fetch"),
        config=forest.config_path,
    shell:
        "gemforest fetch --shard {wildcards.shard} --cores {threads} --config {params.config} 2> {log}"
