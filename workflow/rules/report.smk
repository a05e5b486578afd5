rule report:
    input:
        f"{forest.root}/atlas/atlas.duckdb",
    output:
        f"{forest.root}/report/index.html",
    params:
        config=forest.config_path,
    log:
        "logs/report.log",
    shell:
        "gemforest report --config {params.config} 2> {log}"
