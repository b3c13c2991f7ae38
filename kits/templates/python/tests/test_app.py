"""Tests without a gateway: `python3 -m unittest`."""

import unittest

from app import {{pascal}}
from windlass_filter import SettingsError
from windlass_filter.testing import configure


class Phases(unittest.TestCase):
    def setUp(self) -> None:
        self.filter = configure({{pascal}}, {"allow": ["blue"]})

    def test_a_listed_team_passes_and_its_body_is_counted(self) -> None:
        done = self.filter.run(method="POST", headers={"x-team": "blue"}, body=[b"hel", b"lo"])
        self.assertIsNone(done.refusal)
        self.assertEqual(done.request.header("x-checked-by"), "{{name}}")
        self.assertEqual(done.response.header("x-request-bytes"), "5")

    def test_another_team_is_refused_and_the_log_names_it(self) -> None:
        done = self.filter.run(headers={"x-team": "red"})
        self.assertEqual((done.status, done.refusal), (403, "team_unknown"))
        self.assertIn(("info", "the team is not in `allow`", {"team": "red"}), self.filter.world.log)


class SettingsOfTheFilter(unittest.TestCase):
    def test_an_empty_list_is_an_error_at_its_place(self) -> None:
        with self.assertRaises(SettingsError) as raised:
            configure({{pascal}}, {"allow": []})
        self.assertEqual([at for at, _ in raised.exception.diagnostics], ["/allow"])
