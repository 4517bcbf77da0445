# Input functions of the targets that name no dataset.


include: "refusals.smk"


@refusing
def everything(wildcards):
    return plan.everything()


@refusing
def all_audits(wildcards):
    return plan.all_audits()
