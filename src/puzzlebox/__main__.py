from puzzlebox.cli import main

raise SystemExit(main())
