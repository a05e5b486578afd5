rule atlas_shard:
    input:
        forest.last_ledgers(),
    output:
        f"{forest.root}/atlas/ledger/shard={{shard}}.parquet",
    params:
        config=forest.config_path,
    log:
        "logs/atlas/shard={shard}.log",
    shell:
        "gemforest atlas --shard {wildcards.shard} --config {params.config} 2> {log}"


rule atlas:
    input:
        forest.atlas_parts(),
    output:
        f"{forest.root}/atlas/atlas.duckdb",
    params:
        config=forest.config_path,
    log:
        "logs/atlas/atlas.log",
    shell:
        "gemforest atlas --config {params.config} 2> {log}"
