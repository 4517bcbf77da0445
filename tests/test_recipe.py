"""Recipes in force: which of their decisions apply, as the others and an order table leave it."""

from __future__ import annotations

from preprocess import recipe


def test_what_is_in_force_follows_the_other_decisions():
    paper, released = recipe.load("breastmnist", "paper"), recipe.load("breastmnist", "released")
    assert paper.idle("crop_rounding") == "crop is none"
    assert released.idle("crop_rounding") == ""
    some = recipe.load("breastmnist", "paper", {"crop": {28: "centre-square", "other": "none"}})
    assert some.idle("crop_rounding") == ""
    chest = recipe.load("chestmnist", "released")
    assert [key for key in chest.decisions if chest.idle(key)] == ["split.ratio", "split.group_by", "crop_rounding"]
    by_rule = recipe.load("chestmnist", "released", {"split.rule": "per-class"})
    assert [key for key in by_rule.decisions if by_rule.idle(key)] == ["split.list", "crop_rounding"]
    own = recipe.load("breastmnist", "released", {"split.file": "mine.csv"})
    assert own.idle("split.rule") == own.idle("split.ratio") == "split.file places the samples"
    retina = recipe.load("retinamnist", "released")
    assert retina.idle("split.group_class") == ""
    assert recipe.load("retinamnist", "released", {"split.group_by": "none"}).idle("split.group_class")


def test_where_an_order_table_places_the_samples_no_rule_splits_them(stand_in, builder, tmp_path):
    released = recipe.load("breastmnist", "released")
    placed = [key for key in released.decisions if released.idle(key, placed=True)]
    assert placed == ["split.rule", "split.ratio", "split.group_by", "split.keep"]
    assert not released.idle("order", placed=True)
    done = builder("breastmnist", stand_in("busi"), protocol="released")
    keys = [row["key"] for row in done.samples]
    table = tmp_path / "order.csv"
    lines = [f"{('train', 'val', 'test')[i % 3]},{i // 3},{key}\n" for i, key in enumerate(keys)]
    table.write_text("split,index,image_id\n" + "".join(lines))
    done = builder("breastmnist", stand_in("busi"), protocol="released", order_table=table)
    assert all(row["released_index"] for row in done.samples)
    told = [one["text"] for one in done.findings if one["check"] == "assumed"]
    assert not any("split." in text for text in told)
