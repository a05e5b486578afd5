rule report:
    input:
        f"{forest.root}/atlas/atlas.duckdb",
    output:
        f"{forest.root}/report/index.html",
    log:
        "logs/report.log",
    conda:
        "../../envs/native.yaml"
    params:
        config=forest.config_path,
    shell:
        "gemforest report --config {params.config} 2> {log}"
