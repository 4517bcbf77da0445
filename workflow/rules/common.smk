# Input and params functions of the base rules. All they say they ask the plan.


include: "refusals.smk"


plan = config["plan"]


def command(stage):
    """The command line options of a stage for the dataset of the wildcards."""

    def of_dataset(wildcards):
        return plan.options(stage, wildcards.dataset)

    return of_dataset


def code(stage):
    """Digest of the code and decisions a stage's result depends on: imported code is not watched."""

    def of_dataset(wildcards):
        return plan.fingerprint(stage, wildcards.dataset)

    return of_dataset


def doubling(first):
    """Amount of a resource: a job that a cluster stopped for using more gets twice as much when it is tried again."""

    def of_attempt(wildcards, attempt):
        return first * 2 ** (attempt - 1)

    return of_attempt


@refusing
def raw_files(wildcards):
    return plan.raw_inputs(wildcards.dataset)


@refusing
def raw_entries(wildcards):
    return plan.raw_entries(config["source"])


def order_table(wildcards):
    return plan.order_table(wildcards.dataset) or []


def prepared_folder(wildcards):
    return plan.prepared_folder(wildcards.dataset, wildcards.shard) or []


@refusing
def split_file(wildcards):
    return plan.split_file(wildcards.dataset) or []


def shard_folders(wildcards):
    return plan.shard_folders(wildcards.dataset)


def all_npz(wildcards):
    return plan.npz(wildcards.dataset)


def audit_npz(wildcards):
    return plan.audit_npz(wildcards.dataset)


def size_of_file(wildcards):
    return wildcards.tail.removeprefix("_") or "28"


def published_npz(wildcards):
    return plan.released_files(wildcards.dataset, plan.sizes(wildcards.dataset))


def exceptions_file(wildcards):
    return plan.settings.exceptions or []


@refusing
def match_inputs(wildcards):
    return plan.match_outputs()


def published_of(wildcards):
    return plan.all_released_files(wildcards.dataset)
