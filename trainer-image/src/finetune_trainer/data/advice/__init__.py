"""What a person who knows the field would say about this data. Sentences, at most eight, the weightiest first.

Nothing is advised of good data: each rule has a test that it speaks and one that it is silent. docs/data-quality.md lists them.
"""

from finetune_trainer.data.advice import of_preference, of_rows, of_settings
from finetune_trainer.data.advice.seen import Rule, Seen

__all__ = ["MOST", "RULES", "Rule", "Seen", "advice"]

MOST = 8

RULES: tuple[Rule, ...] = (
    of_preference.one_sided,
    of_rows.many_dropped,
    of_preference.unprepared,
    of_rows.few_rows,
    of_rows.cut,
    of_settings.nothing_held_out,
    of_settings.rate,
    of_settings.full_on_few,
    of_rows.one_answer,
    of_rows.refusals,
    of_preference.contradictions,
    of_preference.swapped,
    of_rows.broken,
    of_rows.rendered,
    of_settings.few_held_out,
    of_preference.imbalance,
    of_preference.longer_chosen,
    of_settings.many_epochs,
    of_rows.mixed_prompts,
    of_rows.echoes,
    of_rows.prose,
    of_rows.copies_dropped,
    of_rows.copies_kept,
    of_rows.dwarfed,
    of_settings.shortened,
    of_settings.hardly_packed,
    of_settings.endless,
    of_settings.quoting,
    of_settings.plain,
    of_rows.little_learned,
    of_settings.few_steps,
    of_settings.little_seen,
)
"""The weightiest first."""


def advice(seen: Seen) -> list[str]:
    """The sentences that apply."""
    return [sentence for rule in RULES if (sentence := rule(seen))][:MOST]
