"""The index of exercises is what the chapters say."""

import exercises


def test_the_page_is_what_the_chapters_say():
    assert exercises.PAGE.read_text(encoding="utf-8") == exercises.render()


def test_every_exercise_has_a_level():
    for path in (exercises.ROOT / "notebooks").glob("*.ipynb"):
        source = path.read_text(encoding="utf-8")
        found = exercises.chapter_row(path)[1]
        assert sum(found.values()) == source.count('"### Exercise ') + source.count(
            "n### Exercise "
        )
        assert found["easy"] >= 1


def test_a_heading_becomes_the_name_that_links_use():
    assert exercises.slug("Exercise 1 · Same bag? (easy)") == "exercise-1--same-bag-easy"
    assert exercises.exercises_of("### Exercise 2 · Spin (hard)\n") == [("2", "Spin", "hard")]
    assert exercises.exercises_of("### Exercise 2 · Spin (tough)\n") == []
