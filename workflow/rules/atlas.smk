rule atlas_shard:
    input:
        forest.last_ledgers(),
    output:
        f"{forest.root}/atlas/ledger/shard={{shard}}.parquet",
    log:
        "logs/atlas/shard={shard}.log",
    conda:
        "../../envs/native.yaml"
    params:
        config=forest.config_path,
    shell:
        "gemforest atlas --shard {wildcards.shard} --config {params.config} 2> {log}"


rule atlas:
    input:
        forest.atlas_parts(),
    output:
        f"{forest.root}/atlas/atlas.duckdb",
    log:
        "logs/atlas/atlas.log",
    conda:
        "../../envs/native.yaml"
    params:
        config=forest.config_path,
    shell:
        "gemforest atlas --config {params.config} 2> {log}"
