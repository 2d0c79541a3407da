"""The command `fclocal`, for people and programs."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from fclocal.client import daemon, terminal
from fclocal.client.platform import Platform, attach, detaching
from fclocal.client.state import required, running, state_dir
from fclocal.core.errors import KINDS, FcError
from fclocal.core.options import Options, parse
from fclocal.core.records import LOG, log_line

Arguments = argparse.Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Return 0, 1 after an error that was printed, 2 for wrong usage, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        run: Callable[[Arguments], int | None] = arguments.run
        return run(arguments) or 0
    except FcError as error:
        print(f"{error.code} ({error.owner}): {error.message}\n  {error.cure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has closed the pipe (| head)
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fclocal", description="Function Compute on this machine.")
    parser.add_argument("--state", metavar="DIR", help="state directory (else FCLOCAL_STATE, else .fclocal)")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Arguments], int | None], text: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(name, help=text, description=text)
        subparser.set_defaults(run=run)
        return subparser

    start = command("start", _start, "start the platform; does nothing if it runs already")
    for option in fields(Options):
        kind, flag = type(option.default), "--" + option.name.replace("_", "-")
        text = f"{option.metadata['text']} (default: {option.default})"
        if kind is bool:
            start.add_argument(flag, action=argparse.BooleanOptionalAction, dest=option.name, help=text)
        else:
            start.add_argument(flag, type=kind, dest=option.name, metavar="N", help=text)
    _json(command("status", _status, "show what runs where"))
    command("stop", _stop, "stop the platform and all it runs")
    deploy = command("deploy", _deploy, "deploy a function folder from its s.yaml")
    deploy.add_argument("folder", type=Path)
    deploy.add_argument("--set", action="append", default=[], metavar="PROP=VALUE", help="override a prop")
    deploy.add_argument("--loose", action="store_true", help="leave out, with a warning, what fclocal does not emulate")
    _json(deploy)
    _json(command("list", _list, "list what is deployed"))
    _name(command("remove", _remove, "delete a function with its triggers, versions and aliases"))
    logs = _name(command("logs", _logs, "print a function's output with the platform's lines"))
    logs.add_argument("--follow", "-f", action="store_true", help="print new lines as they are written")
    events = command("events", _events, "print the journal as JSON Lines")
    events.add_argument("name", nargs="?", help="only this function's records")
    events.add_argument("--after", type=int, default=0, metavar="SEQ", help="only records after this number")
    events.add_argument("--follow", "-f", action="store_true", help="print new records as they are written")
    watch = command("watch", _watch, "show records of the journal as they are written, for people")
    watch.add_argument("name", nargs="?", help="only this function's records")
    tap = _name(command("tap", _tap, "show the frames of a function's connections as they are sent"))
    tap.add_argument("--json", action="store_true", help="print JSON Lines, for programs")
    fault = command("fault", _fault, "inject a fault until Ctrl-C")
    fault.add_argument("what", metavar="WHAT", help="reject, delay, slow_start, kill, cut, silence or pause_redis")
    fault.add_argument("name", nargs="?", help="the function (default: every function)")
    fault.add_argument("--status", type=int, help="for reject: 429, 500 or 503")
    fault.add_argument("--delay", type=float, metavar="S", help="for delay and slow_start")
    fault.add_argument("--after", type=float, metavar="S", help="for kill, cut and silence: seconds into a request")
    fault.add_argument("--times", type=int, metavar="N", help="end the fault after N hits")
    fault.add_argument("--seconds", type=float, metavar="S", help="end the fault after S seconds instead of Ctrl-C")
    _json(command("redis", _redis, "start the kit's Redis unless it runs, and print its program and URL"))
    bill = _name(command("bill", _bill, "print what a function would cost"))
    bill.add_argument("--currency", choices=("CNY", "USD"), default="CNY")
    _json(bill)
    _json(_name(command("metrics", _metrics, "print a function's metrics under the names of CloudMonitor")))
    _json(command("doctor", _doctor, "check this machine and print a fix for what is missing"))
    _json(command("parity", _parity, "print how well each behaviour is known, and how it differs from the service"))
    return parser


def _json(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parser


def _name(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("name", help="the function")
    return parser


def _attached(run: Callable[[Platform, Arguments], None]) -> Callable[[Arguments], None]:
    """Return the command `run` with the running platform as its first argument."""

    def command(arguments: Arguments) -> None:
        with detaching(attach(state_dir(arguments.state))) as fc:
            run(fc, arguments)

    return command


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def _start(arguments: Arguments) -> None:
    options = {option.name: value for option in fields(Options)
               if (value := getattr(arguments, option.name)) is not None}
    parse(options)
    where = state_dir(arguments.state)
    before = running(where)
    attachment = daemon.spawn(where, keep=True, options=options)
    if before is None:
        print(f"fclocal runs (pid {attachment.pid})")
    else:
        attachment.call("POST", "/keep")
        if options:
            raise FcError("InvalidArgument", reason="fclocal runs already; options count when it starts: stop it first")
        print(f"fclocal runs already (pid {attachment.pid})")
    print(f"  management API  http://{attachment.endpoint}")
    print(f"  state           {where}")


@_attached
def _status(fc: Platform, arguments: Arguments) -> None:
    status = fc.status()
    if arguments.json:
        _print_json(status)
        return
    print(f"fclocal {status['version']}, pid {status['pid']}, management API http://{status['endpoint']}")
    print(f"state {status['state']}")
    _functions(status)
    table = terminal.table("INSTANCE", "FUNCTION", "VERSION", "STATE", "REQUESTS", "PID")
    for i in status["instances"]:
        table.add_row(i["instanceId"], i["function"], i["version"], i["state"], str(i["load"]), str(i["pid"] or "-"))
    if table.rows:
        terminal.console().print(table)


def _functions(status: dict[str, Any]) -> None:
    table = terminal.table("FUNCTION", "TRIGGER", "URL")
    for f in status["functions"]:
        for trigger in f["triggers"] or [{"triggerName": "-", "url": "-"}]:
            table.add_row(f["functionName"], trigger["triggerName"], trigger["url"])
    for domain in status["customDomains"]:
        table.add_row("(custom domain)", domain["domainName"], domain["url"])
    if table.rows:
        terminal.console().print(table)
    else:
        print("No function is deployed. Run: fclocal deploy functions/01-echo")


def _stop(arguments: Arguments) -> None:
    daemon.stop(required(state_dir(arguments.state)))
    print("fclocal has stopped")


@_attached
def _deploy(fc: Platform, arguments: Arguments) -> None:
    from fclocal.client.deploy import deploy, parse_override

    overrides = dict(parse_override(text) for text in arguments.set)
    deployed = deploy(fc.sdk, arguments.folder, overrides=overrides, loose=arguments.loose)
    for warning in deployed[0].warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for notice in deployed[0].notices:
        print(f"notice: {notice}", file=sys.stderr)
    wires = [one.wire() for one in deployed]
    if arguments.json:
        _print_json(wires[0] if len(wires) == 1 else wires)
        return
    for wire in wires:
        print(f"{wire['functionName']} is deployed")
        for trigger in wire["triggers"]:
            print(f"  trigger {trigger['triggerName']}: {trigger['url']}")
        for domain in wire["customDomains"]:
            print(f"  domain {domain['domainName']}: {domain['url']}")


@_attached
def _list(fc: Platform, arguments: Arguments) -> None:
    status = fc.status()
    if arguments.json:
        _print_json({"functions": status["functions"], "customDomains": status["customDomains"]})
    else:
        _functions(status)


@_attached
def _remove(fc: Platform, arguments: Arguments) -> None:
    fc.remove(arguments.name)
    print(f"{arguments.name} is removed")


@_attached
def _logs(fc: Platform, arguments: Arguments) -> None:
    for record in fc.events(function=arguments.name, kinds=",".join(LOG), follow=arguments.follow):
        print(f"{terminal.clock(record)} {record.instance[-8:]} {log_line(record)}", flush=True)


@_attached
def _events(fc: Platform, arguments: Arguments) -> None:
    for record in fc.events(arguments.after, function=arguments.name, follow=arguments.follow):
        print(json.dumps(record.wire()), flush=True)


@_attached
def _watch(fc: Platform, arguments: Arguments) -> None:
    newest = fc.status()["journal"]
    print("Watching; Ctrl-C ends it.", flush=True)
    out = terminal.console()
    for record in fc.events(newest, function=arguments.name, follow=True):
        out.print(terminal.record_row(record, out.width), soft_wrap=True)
        out.file.flush()


@_attached
def _tap(fc: Platform, arguments: Arguments) -> None:
    with fc.tap(arguments.name) as tap:
        if not arguments.json:
            print(f"Recording connections to {arguments.name} that open from now on; Ctrl-C ends it.", flush=True)
        for record in fc.events(tap.after, function=arguments.name, kinds="tap.frame", follow=True):
            data = record.data
            if arguments.json:
                print(json.dumps(record.wire()), flush=True)
                continue
            arrow = "client -> function" if data["direction"] == "in" else "client <- function"
            code = "" if data["closeCode"] is None else f" {data['closeCode']}"
            opcode = f"{data['opcode'].upper()}{code}"
            print(f"{terminal.clock(record)} {arrow} {opcode} {data['length']} bytes {data['preview']}", flush=True)


@_attached
def _fault(fc: Platform, arguments: Arguments) -> None:
    fields = {name: getattr(arguments, name) for name in ("status", "delay", "after", "times", "seconds")}
    rule = fc.at.call("POST", "/faults", body={"what": arguments.what, "function": arguments.name,
                                               **{k: v for k, v in fields.items() if v is not None}})
    print(f"armed: {rule['detail']} for {rule['function'] or 'every function'}")
    if arguments.seconds is not None or arguments.times is not None:
        return
    print("Ctrl-C ends it.", flush=True)
    try:
        for record in fc.events(rule["after"], kinds="fault.hit", follow=True):
            if record.data["rule"] == rule["rule"]:
                print(f"{terminal.clock(record)} hit {record.function} {record.request}", flush=True)
    finally:
        fc.at.call("DELETE", f"/faults/{rule['rule']}")


@_attached
def _redis(fc: Platform, arguments: Arguments) -> None:
    answer = fc.at.call("POST", "/redis")
    if arguments.json:
        _print_json(answer)
    else:
        print(f"Redis: {answer['program']}\n  {answer['url']}")


@_attached
def _bill(fc: Platform, arguments: Arguments) -> None:
    bill = fc.bill(arguments.name, currency=arguments.currency)
    if arguments.json:
        _print_json(bill.data)
    else:
        print(bill)


@_attached
def _metrics(fc: Platform, arguments: Arguments) -> None:
    data = fc.metrics(arguments.name)
    if arguments.json:
        _print_json(data)
        return
    out = terminal.console()
    seconds = data["until"] - data["since"]
    out.print(f"{data['functionName']}: {seconds:.0f} seconds of the journal. In CloudMonitor: namespace acs_fc.")
    out.print(terminal.metric_rows(data["metrics"]))


def _doctor(arguments: Arguments) -> int:
    from fclocal.client import doctor

    checks = doctor.checks(state=state_dir(arguments.state))
    if arguments.json:
        _print_json([check.wire() for check in checks])
    else:
        doctor.report(checks, terminal.console())
    return 0 if all(check.ok for check in checks if check.needed) else 1


def _parity(arguments: Arguments) -> None:
    import tomllib

    rows = tomllib.loads(files("fclocal").joinpath("parity.toml").read_text())["row"]
    if arguments.json:
        _print_json(rows)
        return
    out = terminal.console()
    for entry in terminal.parity_rows(rows, out.width):
        out.print(entry, soft_wrap=True)
    print(f"{len(rows)} behaviours; {len(KINDS)} error codes")


if __name__ == "__main__":
    sys.exit(main())
