"""Keys that the agent presses in an answer that an external voice says."""

from app.call import commands as do
from app.call import events as ev
from app.call.heard.agent_audio import OWN_SOUND
from tests.call.voice_scene import VoiceScene


def pressing(digits: str) -> VoiceScene:
    """The model has written an answer, and called `send_digits` after it."""
    scene = VoiceScene()
    scene.connect()
    scene.begin()
    scene.feed(ev.TextReceived("item_1", "I press the key for you now, it is the one. "))
    scene.feed(ev.OutputItemDone("resp_1", "item_1", "message", "completed"))
    scene.call_tool("call_1", "send_digits", arguments=f'{{"digits": "{digits}"}}')
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    return scene


def test_the_answer_is_heard_before_the_keys() -> None:
    scene = pressing("12")
    scene.run(20_000)

    whose = [each.item_id for each in scene.all(do.PlayAudio)]
    assert whose == sorted(whose, key=lambda each: each == OWN_SOUND) and whose[-1] == OWN_SOUND
    assert scene.outputs() and scene.heard_words()[-1] == "one."


def test_the_answer_can_be_interrupted_and_the_keys_follow() -> None:
    scene = pressing("12")
    scene.run(150)  # the voice is still speaking
    scene.speak()

    assert scene.all(do.ClearAudio)
    scene.run(3000)
    assert scene.all(do.PlayAudio)[-1].item_id == OWN_SOUND


def test_many_keys_wait_for_the_answer_as_well() -> None:
    scene = pressing("1" * 99)
    assert not scene.all(do.PlayDigits)
    scene.run(1500)
    assert scene.all(do.PlayDigits)
