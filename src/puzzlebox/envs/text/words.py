"""Common English words by class, written for the check that a sentence is made of real words.

Regular forms (plurals, -s, -ed, -ing, -er, -est, -ly) are derived by the spelling rules below, so that the lists stay
short. A few derived forms that nobody uses (informations) do no harm: the check only has to tell words from gibberish.
"""

# ruff: noqa: SIM905 - one word per line would be two thousand lines

from __future__ import annotations

DETERMINERS = frozenset("a an the my your his her its our their this that these those every each no".split())
CONJUNCTIONS = frozenset("and or but nor than because although while if unless until whereas".split())
OTHER_FUNCTION = frozenset(
    """i you he she it we they me him them us who whom whose which what where when why how myself yourself himself
    herself itself ourselves themselves mine yours ours theirs of in on at by to from with without for about over under
    into onto through across along around against among between before after behind below beside besides beyond during
    near off out outside inside past since toward towards up down upon via within throughout above amid as like per
    not so too very just also only even still yet again all any both few more most much many other others another some
    such own same one two three four five six seven eight nine ten hundred first second third last next there here then
    now can could may might must shall should will would cannot ought don't doesn't didn't isn't aren't wasn't won't
    can't couldn't wouldn't shouldn't haven't hasn't hadn't it's that's i'm i'll i've i'd you're you'll we're we'll
    they're they'll he's she's let's there's""".split()
)
FUNCTION = DETERMINERS | CONJUNCTIONS | OTHER_FUNCTION

NOUNS = tuple(
    """ability action activity actor adult adventure advice afternoon age air aircraft airport alarm album anchor
    angle animal ankle answer ant apartment apple apron area arm army arrow art artist assistant attic audience aunt
    author autumn award baby back bag bagpipe baker bakery balcony ball balloon banana band bank bar barn basin basket
    bat bath bathroom bay beach bean bear beard beauty bed bedroom bee beginning bell belt bench berry bike bill bird
    birth birthday biscuit blanket blossom boat body bone book boot border boss bottle bottom bow bowl box boy brain
    branch bread breakfast breath breeze brick bridge brother brush bucket bud bug builder building bun bus bush
    business butter butterfly button cabin cake calf call calm camera camp camping canal candle candy canoe cap
    captain car card care carpet carrot cart castle cat cattle cause cave ceiling center century chair chalk champion
    chance change chapter charm chef cherry chest chicken child chimney chin chocolate choice choir chord church
    cinnamon circle circus citizen city class classroom clay climb clock cloth clothing cloud clown club coach coal
    coast coat coffee coin cold collar color column comfort community company computer concert contact cook cookbook
    cookie corn corner cost cottage cotton couch counter country county couple courage course court courtyard cousin
    cow crab cream creature crop crowd crown cup curiosity curry curtain customer cycle dad dance dancer danger dark
    darkness data date daughter dawn day decision deer delight desk dessert detail diamond dinner direction dirt
    discovery dish distance dock doctor dog doll dolphin donkey door doorway dot doubt dough dragon drawing dream
    dress drink driver drop drum duck dusk dust duty eagle ear earth ease east edge effort egg elbow elephant emotion
    end energy engine evening event evidence example excitement exercise experience expert eye face fact factory fall
    family fan farm farmer fashion father favorite feather feeling fence festival field fig film finger fire fireplace
    fish flag flame flavor flight floor flour flow flower fly fog folk food football footpath force forest fork form
    fort fountain fox freedom friend friendship frog front frost fruit fun fur future game garden garlic gate giant
    gift ginger giraffe girl glass glory glove goal goat gold good goose grain grandma grandpa grape grass gravity
    ground group growth guest guitar gull gym habit hair half hall hallway hand handful happiness harbor harmony
    harvest hat hawk hay head health heart heat height help hen herb hero highway hill history hobby hog hole holiday
    home honey honor hope horizon horn horse hospital hotel hound hour house human humor hunt hut ice idea image
    imagination impact inch individual industry information insight instrument interest invention iron island item
    jacket jam jar job joke journal journey joy judge juice jump jungle kettle key kick kid kind king kingdom kiss kit
    kitchen kitten knight knot knowledge ladder lady lagoon lake lamb lamp land landmark landscape language lantern
    lap laptop laugh law lawn lawyer leader lemon lesson letter library lid light lightning lily limb limit line lion
    lip list litter living loaf log look lot love luck lunch machine magic mail main mall mango map maple march mark
    market marvel mass mast master mat match material math matter meadow meal meaning meat medal melody member memory
    metal method midnight mile milk mill mind mint minute mirror mist mix moisture mom moment monarch money monkey
    month mood moon moonlight morning moss moth mother motion motor mountain mouth move movement movie mud muscle
    museum mushroom music musician mystery nail name nap nation nature neck neighbor nest net news night noise noodle
    noon north nose note notion novel number nurse nut oak oasis object ocean offer office oil onion opinion option
    orange orbit orchard order organ origin outdoors outfit oven owl owner pack pad paddle page pain paint painter
    painting pair pal palm pan pancake paper parent park parrot part participant partner party pass passion past pasta
    patch patient pattern paw peace peach peak pear pearl pen pencil penguin people pepper performance person phone
    photo physician piano picnic picture pie piece pig pigeon pillow pilot pine pink pit pitch place plan planet plant
    plate play player plot plum pocket poem poet poetry point pond pony pool port pot potato powder power practice
    present president price pride print prize problem process product program project promise proof pumpkin pup puppy
    purpose puzzle quality quantity queen question quiet quilt rabbit race radio rail railway rain rainbow raindrop
    range ray reader reason record region relation report research resource result rhythm ribbon rice ride rider ring
    rink river road robin robot rock rocket roll roof room root rope rose route row rug rule run runner sail sailor
    salad salt sand sandwich satin scarf scene scent school science scientist score sea season seat secret seed sense
    sentence service shade shadow shape shark sheep shell ship shirt shoe shop shore shoulder show shower sidewalk
    sight sign signal silk silver singer sister situation size skill skin skirt sky sleep slice smell smile smoke
    snack snail snow snowflake snowman soap society sock sofa soil soldier solution son song sort soul sound soup
    south space spark speed spice spider spirit spoon sport spot spring squirrel stadium staff stage stair stamp stand
    star start state station step stick stomach stone storm story stranger straw stream street string strip stroll
    structure student studio study stuff style subject success sugar suit sum summer sun sunday sunlight sunrise
    sunset sunshine support surface surprise swan swim symbol system table tail tailor talent talk tart task taste tea
    teacher team tent test text thing thought thrill thunder tick ticket tide tiger time tip title toast today toe
    tomato tomorrow ton tone tonight tool tooth top torch touch tour tourist towel tower town toy track tradition
    traffic trail train transport trash travel treasure tree trick trip trouble truck trumpet trunk truth tulip tuna
    turn twig uncle unit unity vacation valley value van variety vegetable view villa village vine violin vision visit
    visitor voice volcano voyage wagon walk wall walnut war warmth watch water wave way wealth weather web week
    weekend weight west whale wheat wheel whisper width wife wildlife win wind window wing winner winter wisdom wish
    wolf wonder wood wool word work worker world worm wrist writer writing yard yarn year
    yogurt youth zone zoo""".split()
)
IRREGULAR_NOUNS = """men man woman women children feet foot teeth mice mouse geese goose leaf leaves life lives knives
    knife wolves halves loaves loaf shelves shelf wives selves everyone everybody anyone anybody someone somebody
    nobody nothing something anything everything physics mathematics scissors trousers pajamas kids monday tuesday
    wednesday thursday friday saturday january february april june july august september october november december
    basketball baseball soccer tennis hockey chess yoga popcorn""".split()
VERBS = tuple(
    """accept achieve act adapt add admire admit adopt adore agree aim allow amaze announce appear applaud apply
    appreciate approach ask assist attack attract avoid await bake balance bark bask bathe battle beckon beg behave
    believe belong bind blaze blend bless blink bloom blossom blur boast boil bounce bow brighten brush bubble burn
    bury buzz call calm camp capture care carry carve cast cause celebrate challenge change charm chase chat check
    cheer chew chirp chomp chop circle claim clap clean clear climb clip close clutch coat collect color comb combine
    compare compose concern connect consist contain continue cook cool copy cough count cover crack craft crash crawl
    create cross crowd cruise crunch crush cry cuddle cure curl cycle dance dart dash dazzle decide decorate delight
    deliver depend describe deserve design desire destroy develop dip direct discover discuss disturb dive divide dock
    doubt drag drain drift drip drop drown drum dry dust earn echo edit embrace employ encourage end enjoy enter
    escape examine excite exist expect explain explore express fade fail fall fascinate fasten fear fill film find
    finish fish fit fix flap flash flicker float flock flourish flow flutter focus fold follow form frighten gain
    gallop gather gaze giggle glance gleam glide glitter glow grab grant greet grill grin grip groom grunt guard guess
    guide handle hang happen hate haul help hike hit honk hop hope howl hug hum hunt hurry imagine improve include
    increase inform inspire instruct invent invite itch jog join joke juggle jump kick kiss knit knock know land last
    laugh launch learn lick lift light like limit link listen live load lock long look love lurk mail manage march
    mark match matter measure melt mend mention mind miss mix moan mount mourn move mow munch murmur nap need nod
    notice nourish obtain occur offer open order own pack paddle paint park part pass pat pause pay peek perch perform
    pick place plan plant play plow point polish pop pour practice praise pray prepare present press prevent print
    produce promise promote protect provide prowl pull pump purr push quack raid rain raise reach realize receive
    record reflect refresh relax release remain remember remind remove repair repeat reply report rest return reveal
    roam roar roast rock roll romp rotate row rub ruin rush sail satisfy savor scatter scrub seal search seem serve
    settle shape share shift shine shiver shop shout show sigh sip skate skip slip smash smell smile snap sniff snore
    snow snuggle soak soar soothe sort sound spark sparkle speed splash spot sprinkle sprout squash squint stack stain
    stand star stay steer step stir stitch stop store stretch stroll struggle study succeed suffer suggest support
    surprise surround sway swirl switch tackle talk tap taste thank thrive tick tickle tidy tie tilt toss touch tour
    trail train trap travel treat trick trim trot trust try tuck tumble turn twinkle twirl twist unfold unwind use
    value vanish visit wag wait walk wander want warm warn wash watch water wave whip whirl whisper whistle wiggle
    wink wish wobble wonder work worry wrap yawn yell yield""".split()
)
IRREGULAR_VERBS = """am is are was were be been being has have had having do does did done doing go goes went gone going
    say says said make makes made making get gets got getting gotten give gives gave given giving take takes took taken
    taking come comes came coming see sees saw seen seeing know knew known think thinks thought thinking find found
    tell tells told telling become becomes became becoming leave leaves left leaving feel feels felt feeling put puts
    putting bring brings brought bringing begin begins began begun beginning keep keeps kept keeping hold holds held
    holding write writes wrote written writing stand stood hear hears heard hearing let lets letting mean means meant
    meaning set sets setting meet meets met meeting run runs ran running pay paid sit sits sat sitting speak speaks
    spoke spoken speaking lie lies lay lain lying lead leads led leading read reads reading grow grows grew grown
    growing lose loses lost losing fall fell fallen send sends sent sending build builds built building draw draws drew
    drawn drawing break breaks broke broken breaking spend spends spent spending cut cuts cutting rise rises rose risen
    rising drive drives drove driven driving buy buys bought buying wear wears wore worn wearing choose chooses chose
    chosen choosing eat eats ate eaten eating drink drinks drank drunk drinking sing sings sang sung singing swim swims
    swam swum swimming fly flies flew flown flying blow blows blew blown blowing throw throws threw thrown throwing
    catch catches caught catching teach teaches taught teaching fight fights fought fighting sleep sleeps slept sleeping
    win wins won winning sell sells sold selling hide hides hid hidden hiding ride rides rode ridden riding ring rings
    rang rung ringing shake shakes shook shaken shaking shine shone sink sinks sank sunk sinking spin spins spun
    spinning spring springs sprang sprung springing stick sticks stuck sticking sweep sweeps swept sweeping swing swings
    swung swinging wake wakes woke woken waking bite bites bit bitten biting cling clings clung clinging dig digs dug
    digging feed feeds fed feeding forget forgets forgot forgotten forgetting forgive hang hung hit hurt hurts hurting
    kneel knelt lay lays laid laying lend lent light lit seek seeks sought seeking shoot shoots shot shooting shut
    shuts spread spreads spreading steal stole stolen sting stings stung weave weaves wove woven weaving weep wept bind
    bound bend bends bent bending dream dreamt leap leaps leapt leaping understand understands understood understanding
    grind grinds ground grinding cast cost costs swept bred breed beat beats beaten beating burst bursts bursting
    """.split()
ADJECTIVES = tuple(
    """able active afraid alert alive alone amazing ancient angry awake aware awful bad bald bare basic beautiful big
    bitter black blank blind blond blue blunt bold brave brief bright brilliant broad brown busy calm careful cautious
    certain charming cheap cheerful chilly classic clean clear clever close cloudy clumsy cold colorful comfortable
    common complex constant content cool cozy crafty crazy crisp crowded cruel crunchy curious cute daily damp dark
    dear deep delicate delicious different difficult dirty distant dry dull dusty eager early easy elegant empty
    endless enormous entire equal essential exact excellent exciting exotic expensive faint fair faithful familiar
    famous fancy fantastic far fast fat fertile final fine firm fit flat fluffy foggy fond foolish foreign free
    frequent fresh friendly full funny fuzzy gentle genuine giant glad global golden good gorgeous grand grassy
    grateful gray great green grumpy handsome handy happy hard harsh healthy heavy helpful hidden high hilly hollow
    hot huge humble humid hungry icy ideal immense important incredible innocent inspiring interesting joyful juicy
    keen kind large late lazy light little lively local lonely long loud lovely loyal lucky mad magical magnificent
    main major married massive mean mighty mild misty modern moist muddy musical narrow nasty natural neat nervous new
    nice noble noisy normal obvious odd old open ordinary pale patient peaceful perfect plain pleasant plump polite
    poor popular positive possible powerful precious pretty private proper proud public pure purple quick quiet rainy
    rapid rare raw ready real red relaxing reliable remarkable rich right ripe rocky rough round royal rural rusty sad
    safe salty sandy sharp shiny short shy sick silent silky silly similar simple sincere single skilled sleepy slim
    slow small smart smooth snowy soft solid sour special spicy splendid stiff still stormy strange strict strong
    stunning stylish sudden sugary sunny sweet swift tall tame tan tasty tender thick thin thirsty thoughtful tiny
    tired total tough tranquil tropical true typical ugly unique united unusual upset urban useful usual various vast
    vibrant visual vital vivid warm wary watchful weak wealthy weird wet white whole wide wild willing windy wise
    wonderful wooden worn worth young yummy""".split()
)
ADVERBS = """abroad actually ago ahead almost aloud already altogether always anyway apart aside away back daily
    downtown enough especially ever everywhere far finally forever forth forward fully hard high home indeed instead
    late later likely long maybe nearby nearly never nightly occasionally often once outdoors perhaps quite rather
    really right simply soon sometimes somewhat somewhere straight suddenly together tonight truly twice usually well
    yesterday whilst afar alike along anymore below daylong afternoons yes oh today tomorrow""".split()


def _with_s(word: str) -> str:
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    return word[:-1] + "ies" if _consonant_y(word) else word + "s"


def _with_ending(word: str, ending: str) -> set[str]:
    """Word plus -ed, -ing, -er or -est; both spellings where doubling the last letter depends on the stress."""
    if word.endswith("e"):
        keeps = ending.startswith("e") or not word.endswith(("ee", "oe", "ye"))
        return {word[:-1] + ending if keeps else word + ending}
    if _consonant_y(word) and ending.startswith("e"):
        return {word[:-1] + "i" + ending}
    if len(word) < 3 or word[-1] in "aeiouwxy" or word[-2] not in "aeiou" or word[-3] in "aeiou":
        return {word + ending}
    doubled, syllables = word + word[-1] + ending, sum(a in "aeiouy" for a in word)
    return {doubled} if syllables == 1 else {doubled, word + ending}


def _with_ly(word: str) -> str:
    if _consonant_y(word):
        return word[:-1] + "ily"
    return word[:-1] + "y" if word.endswith("le") and word[-3] not in "aeiou" else word + "ly"


def _consonant_y(word: str) -> bool:
    return word.endswith("y") and word[-2] not in "aeiou"


VERB_FORMS = frozenset(IRREGULAR_VERBS).union(
    (word for word in OTHER_FUNCTION if "'" in word),  # I'm, it's, don't
    VERBS,
    map(_with_s, VERBS),
    *(_with_ending(v, ending) for v in VERBS for ending in ("ed", "ing")),
)
WORDS = (
    FUNCTION
    | VERB_FORMS
    | frozenset(NOUNS)
    | frozenset(map(_with_s, NOUNS))
    | frozenset(IRREGULAR_NOUNS)
    | frozenset(ADVERBS)
    | frozenset(ADJECTIVES).union(
        map(_with_ly, ADJECTIVES),
        *(_with_ending(a, ending) for a in ADJECTIVES if len(a) < 8 for ending in ("er", "est")),
        ["better", "best", "worse", "worst", "less", "least", "more", "most"],
    )
)
