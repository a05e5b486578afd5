include: "workflow/Snakefile"


# An included `rule all` is no default target: without this rule `snakemake` would silently run nothing.
rule default:
    default_target: True
    input:
        rules.all.input,
