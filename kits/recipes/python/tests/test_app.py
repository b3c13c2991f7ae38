"""The recipes without a gateway: each host interface has a fake."""

import unittest

from app import Recipes
from windlass_filter import Err, SettingsError
from windlass_filter.host import calls, keys
from windlass_filter.testing import Answer, Outcome, World, configure


class Recipe(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World(documents={"blocked": b"bad-bot/1.0\n"}, secrets={"webhook": b"a-secret-of-the-test"})
        self.world.api_keys[b"test-key-1"] = keys.ApiKey("acme-1", "acme", "small", [])
        self.filter = configure(Recipes, world=self.world)

    def recipe(self, name: str, headers: dict[str, str | bytes] | None = None, body: bytes = b"") -> Outcome:
        return self.filter.run(headers={"x-recipe": name, **(headers or {})}, body=body, path="/one")

    def test_a_request_is_counted(self) -> None:
        self.recipe("count")
        self.assertEqual(self.world.metrics, [(0, ["GET"], 1.0)])

    def test_a_value_is_kept_in_the_cache(self) -> None:
        self.recipe("cache")
        self.assertEqual(self.recipe("cache").request.header("x-count"), "2")

    def test_a_key_finds_its_consumer_and_is_hidden(self) -> None:
        done = self.recipe("key", {"x-api-key": "test-key-1"})
        self.assertEqual(done.attributes["consumer.id"], "acme")
        self.assertIsNone(done.request.header("x-api-key"))
        self.assertEqual(self.recipe("key", {"x-api-key": "other"}).refusal, "key_rejected")

    def test_a_spent_plan_refuses(self) -> None:
        self.world.take = lambda key, cost: key != "acme-1"
        done = self.recipe("plan", {"x-api-key": "test-key-1"})
        self.assertEqual((done.status, done.response.header("retry-after")), (429, "1"))

    def test_a_spent_rate_refuses(self) -> None:
        self.assertIsNone(self.recipe("rate").refusal)
        self.world.take = lambda _key, _cost: False
        self.assertEqual(self.recipe("rate").status, 429)

    def test_a_signed_body_passes_and_a_changed_one_does_not(self) -> None:
        tag = "c9ef739b166a6d2c2f2f88962c661a541473c81e886fb08c0396bf0cb78fc71a"
        self.assertIsNone(self.recipe("signature", {"x-signature": tag}, b'{"id":1}').refusal)
        self.assertEqual(self.recipe("signature", {"x-signature": tag}, b'{"id":2}').refusal, "signature_wrong")
        self.assertEqual(self.recipe("signature", {"x-signature": "zz"}, b"").refusal, "signature_wrong")

    def test_a_token_is_verified_and_hidden(self) -> None:
        self.world.accepted_tokens["good"] = {"sub": "alice"}
        done = self.recipe("token", {"authorization": "Bearer good"})
        self.assertIsNone(done.refusal)
        self.assertIsNone(done.request.header("authorization"))
        self.assertEqual(done.attributes["user.id"], "alice")
        self.assertEqual(self.recipe("token", {"authorization": "Bearer bad"}).refusal, "token_rejected")

    def test_the_answer_of_another_server_decides(self) -> None:
        def authorizer(request: calls.Request) -> calls.Response:
            return calls.Response(200 if request.headers == [("x-user", b"alice")] else 403, [], b"")

        self.world.callouts["authorizer"] = authorizer
        self.assertIsNone(self.recipe("ask", {"x-user": "alice"}).refusal)
        self.assertEqual(self.recipe("ask", {"x-user": "bob"}).refusal, "not_allowed")

    def test_a_server_that_is_not_there_is_an_error(self) -> None:
        with self.assertRaises(Err):
            self.recipe("ask")

    def test_the_list_of_the_operator_refuses(self) -> None:
        self.assertEqual(self.recipe("list", {"user-agent": "bad-bot/1.0"}).refusal, "agent_blocked")

    def test_the_response_and_the_error_are_edited(self) -> None:
        self.recipe("edit")
        self.assertEqual(len(self.world.response_edits), 2)
        self.assertEqual(self.recipe("edit", {"x-refuse": "yes"}).problem_members, {"detail": "ask somebody else"})

    def test_a_slash_in_a_parameter_stays_escaped(self) -> None:
        done = self.filter.run(headers={"x-recipe": "path"}, path_params={"id": "a%2Fb"}, answer=Answer(204))
        self.assertEqual(done.path, "/v2/orders/a%2Fb")

    def test_a_missing_document_is_an_error_in_the_settings(self) -> None:
        with self.assertRaises(SettingsError):
            configure(Recipes)
