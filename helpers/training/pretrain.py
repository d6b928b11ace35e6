"""The old place of `helpers.pretrain`."""

from helpers.pretrain import PretrainingConfig, main, pretrain

__all__ = ["PretrainingConfig", "main", "pretrain"]

if __name__ == "__main__":
    raise SystemExit(main())
