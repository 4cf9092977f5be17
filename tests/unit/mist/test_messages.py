"""Tests of message shapes, field by field as the public document specifies."""

from __future__ import annotations

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist import messages

TIME = "2025-01-15T10:30:01.000000000Z"


@given(st.text())
def test_a_log_line_survives(line: str) -> None:
    """A log line survives encoding: quotes, control characters, ANSI sequences, any script."""
    message = json.loads(messages.log(TIME, line, "stderr"))
    assert message == {
        "type": "log",
        "timestamp": TIME,
        "data": {"line": line, "stream": "stderr"},
    }


@given(st.text())
def test_a_log_message_is_one_line(line: str) -> None:
    """An encoded message contains no newline, because bodies are newline-delimited."""
    assert b"\n" not in messages.log(TIME, line, "stdout")


def test_the_time_stamp_of_a_log_message_is_found() -> None:
    """A log message's time stamp is found without decoding the JSON."""
    assert messages.log_timestamp(messages.log(TIME, "x", "stdout")) == TIME


def test_container_status() -> None:
    """A container status matches the document's example."""
    data = messages.ContainerStatus("mist-app-1", "running", "Up 2 hours")
    message = json.loads(messages.status(data))
    assert message.pop("timestamp").endswith("Z")
    assert message == {
        "type": "status",
        "data": {"container": "mist-app-1", "state": "running", "status": "Up 2 hours"},
    }


def test_deployment_status() -> None:
    """A deployment status matches the document's example; ``error_message`` may be empty."""
    data = messages.DeploymentStatus(15, "building", "building_image", 50, "Building...")
    message = json.loads(messages.status(data))
    assert message["data"] == {
        "deployment_id": 15,
        "status": "building",
        "stage": "building_image",
        "progress": 50,
        "message": "Building...",
        "error_message": "",
    }


def test_error_and_end() -> None:
    """Errors and ends carry only a message."""
    error = json.loads(messages.error("Container not found"))
    end = json.loads(messages.end())
    assert (error["type"], error["data"]) == ("error", {"message": "Container not found"})
    assert (end["type"], end["data"]) == ("end", {"message": "Log stream ended"})


def test_skipped_says_how_many() -> None:
    """Skipped lines are reported in the contract's sentence, singular or plural."""
    many = json.loads(messages.skipped(1532))["data"]
    one = json.loads(messages.skipped(1))["data"]
    text = "1532 lines skipped: connection too slow"
    assert many == {"lines": 1532, "reason": "slow", "message": text}
    assert one["message"] == "1 line skipped: connection too slow"


def test_a_long_error_is_cut() -> None:
    """The broker would refuse a message of any length."""
    text = json.loads(messages.error("x" * 20_000_000))["data"]["message"]
    assert text == "x" * 16_384 + " … [truncated]"


def test_skipped_lines_that_nobody_can_count() -> None:
    """An unknown number is 0, and the text does not claim to know it."""
    data = json.loads(messages.skipped(messages.UNKNOWN, "restart"))["data"]
    assert data["lines"] == 0
    assert data["message"].startswith("An unknown number of lines skipped: ")


@pytest.mark.parametrize("reason", get_args(messages.SkipReason))
def test_skipped_says_why(reason: messages.SkipReason) -> None:
    """Each reason of the contract has a text of its own."""
    data = json.loads(messages.skipped(2, reason))["data"]
    assert data["reason"] == reason
    assert data["message"].startswith("2 lines skipped: ")


def test_metrics() -> None:
    """Metrics match the document's object: no type, and the engine's counts may be null."""
    sample = messages.MetricsSample(
        timestamp="2025-01-15T10:30:00Z",
        cpu=messages.Cpu(25.5, 4),
        memory=messages.Space(4294967296, 17179869184, 25.0),
        disk=messages.Space(53687091200, 536870912000, 10.0),
        docker=messages.Docker(None, None, None),
    )
    assert json.loads(messages.metrics(sample)) == {
        "timestamp": "2025-01-15T10:30:00Z",
        "cpu": {"usage": 25.5, "cores": 4},
        "memory": {"used": 4294967296, "total": 17179869184, "percent": 25.0},
        "disk": {"used": 53687091200, "total": 536870912000, "percent": 10.0},
        "docker": {"containers_running": None, "containers_total": None, "images": None},
    }


def test_foreign_bytes_have_no_time_stamp() -> None:
    """Looking for a time stamp in foreign bytes raises nothing."""
    assert messages.log_timestamp(b"") == ""
    assert messages.log_timestamp(b"\xff" * 80) == "\ufffd" * 30


@given(st.text(), st.sampled_from(["stdout", "stderr"]))
def test_a_log_message_is_read(line: str, stream: messages.Stream) -> None:
    """A log message survives encoding and decoding."""
    read = messages.read_log(messages.log(TIME, line, stream))
    assert read == messages.LogMessage(TIME, messages.LogLine(line, stream))


def test_a_status_is_read() -> None:
    """A container's status is decoded field by field."""
    data = messages.ContainerStatus("mist-app-1", "running", "Up 2 hours")
    assert messages.read_status(messages.status(data)) == data


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (messages.end(), "Log stream ended"),
        (messages.error("Container not found"), "Container not found"),
        (messages.skipped(1), "1 line skipped: connection too slow"),
    ],
)
def test_the_text_of_a_message_is_read(message: bytes, text: str) -> None:
    """The text is decoded from every kind of message that has one."""
    assert messages.read_text(message) == text


def test_a_deployment_status_is_read() -> None:
    """A deployment status is decoded field by field and recognised by its type."""
    data = messages.DeploymentStatus(7, "failed", "cloning_repo", 25, "Cloning", "no such branch")
    message = messages.status(data)
    assert messages.read_deployment_status(message) == data
    assert messages.has_type(message, "status")
    assert not messages.has_type(message, "error")


def test_another_message_is_not_a_status() -> None:
    """Reading another message as a status raises DecodeError."""
    with pytest.raises(msgspec.DecodeError):
        messages.read_status(messages.end())
