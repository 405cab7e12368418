"""A terragrunt of ours: plans by what stands in the stack's file "does", and ends as the real one would.

What it prints are recorded outputs of terraform 1.11.4 (and, where said, the words of others).
"""

import json
import os
import shlex
import sys

BOLD, GREEN, RESET = "\x1b[1m", "\x1b[32m", "\x1b[0m"
NOT_SAVED = """
─────────────────────────────────────────────────────────────────────────────

Note: You didn't use the -out option to save this plan, so Terraform can't
guarantee to take exactly these actions if you run "terraform apply" now.
"""
CLEAN = f"""{RESET}{BOLD}terraform_data.a: Refreshing state... [id=7ce0376b-d997-858a-b2f7-126b991df656]{RESET}

{RESET}{BOLD}{GREEN}No changes.{RESET}{BOLD} Your infrastructure matches the configuration.{RESET}

{RESET}Terraform has compared your real infrastructure against your configuration
and found no differences, so no changes are needed.
"""
RESOURCE = f"""
Terraform used the selected providers to generate the following execution
plan. Resource actions are indicated with the following symbols:
  {GREEN}+{RESET} create{RESET}

Terraform will perform the following actions:

{BOLD}  # terraform_data.a{RESET} will be created
{RESET}  {GREEN}+{RESET}{RESET} resource "terraform_data" "a" {{
      {GREEN}+{RESET}{RESET} id     = (known after apply)
      {GREEN}+{RESET}{RESET} input  = <<-EOT
            No changes. Your infrastructure matches the configuration.
        EOT
    }}

{BOLD}Plan:{RESET} 1 to add, 0 to change, 0 to destroy.
{RESET}"""
OUTPUTS = """terraform_data.a: Refreshing state... [id=7ce0376b-d997-858a-b2f7-126b991df656]

Changes to Outputs:
  ~ o = "x" -> "y"

You can apply this plan to save these new output values to the Terraform
state, without changing any real infrastructure.
"""
MOVED = """terraform_data.b: Refreshing state... [id=7ce0376b-d997-858a-b2f7-126b991df656]

Terraform will perform the following actions:

  # terraform_data.a has moved to terraform_data.b
    resource "terraform_data" "b" {
        id     = "7ce0376b-d997-858a-b2f7-126b991df656"
        # (2 unchanged attributes hidden)
    }

Plan: 0 to add, 0 to change, 0 to destroy.
"""
OUTSIDE = """
Note: Objects have changed outside of Terraform

Terraform detected the following changes made outside of Terraform since the
last "terraform apply" which may have affected this plan:

  # local_file.a has changed
  ~ resource "local_file" "a" {
        id = "1"
    }

─────────────────────────────────────────────────────────────────────────────

"""
OLD_CLEAN = """
------------------------------------------------------------------------

No changes. Infrastructure is up-to-date.

This means that Terraform did not detect any differences between your
configuration and real physical resources that exist. As a result, no
actions need to be performed.
"""
REFRESH_ONLY = """
No changes. Your infrastructure still matches the configuration.

Terraform has checked that the real remote objects still match the result of
your most recent changes, and found no differences.
"""
DESTROY = """
No changes. No objects need to be destroyed.

Either you have not created any objects yet or the existing objects were
already deleted outside of Terraform.
"""
TARGETED = """╷
│ Warning: Resource targeting is in effect
│ 
│ You are creating a plan with the -target option, which means that the result
│ of this plan may not represent all of the changes requested by the current
│ configuration.
╵
"""
ERROR = """╷
│ Error: Invalid function argument
│ 
│   on main.tf line 3, in resource "terraform_data" "c":
│    3: resource "terraform_data" "c" { input = file("/nope") }
╵
"""
PLANNING_FAILED = """
Terraform planned the following actions, but then encountered a problem:

  # terraform_data.a will be created
  + resource "terraform_data" "a" {
    }

Plan: 1 to add, 0 to change, 0 to destroy.
""" + ERROR
UNSAVED = """╷
│ Error: Saving a generated plan is currently not supported
│ 
│ The "remote" backend does not support saving the generated execution plan
│ locally at this time.
╵
"""
JSON_CLEAN = """\
{"@level":"info","@message":"Terraform 1.11.4","@module":"terraform.ui","type":"version","ui":"1.2"}
{"@level":"info","@message":"Plan: 0 to add, 0 to change, 0 to destroy.","@module":"terraform.ui",\
"changes":{"add":0,"change":0,"import":0,"remove":0,"operation":"plan"},"type":"change_summary"}
"""
# What a plan prints, its exit code with -detailed-exitcode, and whether it writes the file of -out.
PLANS = {
    "clean": (CLEAN, 0, True), "resource": (RESOURCE, 2, True), "outputs": (OUTPUTS, 2, True), "moved": (MOVED, 2, True),
    "outside, clean": (OUTSIDE + CLEAN, 0, True), "outside, resource": (OUTSIDE + RESOURCE, 2, True),
    "old clean": (OLD_CLEAN, 0, True), "tofu clean": (CLEAN.replace("Terraform", "OpenTofu"), 0, True),
    "error": (ERROR, 1, False), "planning failed": (PLANNING_FAILED, 1, True), "unsaved": (UNSAVED, 1, False),
}


def terraform(arguments, does):
    """What "terraform plan" does: prints, perhaps writes its file, ends."""
    if "-help" in arguments:
        print("Usage: terraform [global options] plan [options]\n\n  Generates a speculative execution plan")
        return 0
    text, code, saves = PLANS[does["plan"]]
    if "-json" in arguments and does["plan"] == "clean":
        text = JSON_CLEAN
    if "-refresh-only" in arguments:
        text, code = REFRESH_ONLY, 0
    if "-destroy" in arguments:
        text, code = DESTROY, 0
    if any(argument.startswith("-target") for argument in arguments):
        text, code = CLEAN + TARGETED, 0
    # The last one counts.
    out = [argument[len("-out="):] for argument in arguments if argument.startswith("-out=")][-1:]
    refresh = [argument for argument in arguments if argument.startswith("-refresh=")][-1:]
    if does["plan"] == "edited by hand" or refresh == ["-refresh=false"]:
        text, code = CLEAN, 0
    if out and does.get("backend") == "remote":
        text, code, saves = UNSAVED, 1, False
    if out and saves:
        with open(out[0], "wb") as file:
            file.write(b"PK\x03\x04 a plan with secrets")
    if not out and code in (0, 2):
        text += NOT_SAVED if code == 2 else ""
    for line in text.splitlines():
        print(does.get("prefix", "") + line)
    return code if code == 1 or "-detailed-exitcode" in arguments else 0


def main():
    with open(os.environ["LOG"], "a", encoding="utf-8") as log:
        log.write(f"terragrunt {' '.join(sys.argv[1:])} in {os.getcwd()} with {sys.stdin.read()!r}\n")
    with open("does", encoding="utf-8") as file:
        does = json.load(file)
    if "exit" in does:  # a wrapper, a signal
        print(does.get("print", ""), end="")
        return does["exit"]
    if does.get("skip"):
        print("17:34:20.994 INFO   Skipping terragrunt module ./terragrunt.hcl due to skip = true.", file=sys.stderr)
        return 0
    code = does.get("before_hook", 0)
    print(does.get("hook_prints", ""), end="")
    if code == 0:
        from_ci = shlex.split(os.environ.get("TF_CLI_ARGS_plan", ""))
        code = terraform([*from_ci, *does.get("extra_arguments", []), *sys.argv[2:]], does)
        if does.get("after_hook"):
            code = does["after_hook"]
    if code != 0 and does.get("ignore_errors"):
        print("17:34:21.004 WARN   Ignoring error example. Reason: known", file=sys.stderr)
        return 0
    return 0 if does.get("exit_code_is_lost") else code


if __name__ == "__main__":
    sys.exit(main())
