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
