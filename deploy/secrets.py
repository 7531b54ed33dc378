"""`python -m deploy.secrets [FOLDER]`: the secrets of a compose installation, one file each, made once."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from deploy.environment import SECRETS, write_secret

#: As whom the containers run when root makes the secrets: nobody who exists outside of them.
CONTAINER_UID = 10001


def make(folder: Path, env_file: Path) -> list[str]:
    """Make what is missing in `folder` (0700, files 0600), and tell compose in `env_file` whose files these are.

    Docker hands a secret over with the owner and mode of its file: the containers run as that owner.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = [name for name in SECRETS if not (folder / name).exists()]
    for name in made:
        write_secret(folder / name, secrets.token_urlsafe(24) + "\n")
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        uid = gid = CONTAINER_UID
        for path in (folder, *(folder / name for name in SECRETS)):
            os.chown(path, uid, gid)
    env_file.write_text(f"COMPOSE_PROJECT_NAME=weir\nWEIR_UID={uid}\nWEIR_GID={gid}\n")
    return made


def main() -> None:
    here = Path(__file__).parent
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else here / "secrets"
    made = make(folder, folder.parent / ".env")
    print(f"{len(made)} secrets made in {folder}, {len(SECRETS) - len(made)} were there")


if __name__ == "__main__":
    main()
