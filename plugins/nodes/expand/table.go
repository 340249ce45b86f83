package expand

// table holds words that programmers use for the same thing, one group a line,
// the most telling words first. A word may stand in several groups. All words
// are lower-case and single: the index knows nothing longer.
const table = `
abort cancel stop
absolute magnitude
add append insert push put
address location
allocate reserve grow
alphabet letter
answer response reply
append add concat extend
argument parameter arg option flag
array slice list vector
assert check verify
associate map bind link
atomic synchronized
authenticate verify sign login
average mean
background concurrent async goroutine
base64 encoding
begin start open
between range
big large arbitrary precision
binary bytes base2
bit bits
block wait suspend
boolean bool
bound limit
buffer cache buffered
build construct compose make
bytes octets binary
cache memo store
calculate compute evaluate
call invoke execute run
cancel stop abort done
capacity size cap
capitalize title upper uppercase
certificate x509 cert
change modify update mutate set
channel chan
character rune char letter
check test verify validate report
choose select pick
cipher encrypt
clean normalize canonical simplify
clear reset empty zero truncate
client caller requester
clock time
clone copy duplicate
close shutdown release finish
collect gather accumulate
combine join merge concatenate
command process exec program
compare equal cmp less order
compile parse build
complete finish whole full entire
compress gzip deflate zip flate
concatenate join append combine
concurrent parallel goroutine simultaneous
condition predicate cond
configure set option setup
connect dial open join
connection conn socket
contain include has
convert parse format transform translate
copy clone duplicate
count number len total
create make new build open
current present now working
cut split trim slice truncate
data bytes content
date time day calendar
deadline timeout expire
decimal base10
decode unmarshal parse decipher
decompress gunzip inflate uncompress unzip
decrypt decipher open
default standard fallback
delay sleep pause after
delete remove erase unlink drop
describe explain string
detect determine find sniff
dictionary map
difference diff subtract distance
digest hash checksum sum
digit number numeral
directory folder dir path
disable off stop
disk file filesystem
display print show
divide quotient div
domain host dns
download get fetch
duplicate repeated copy clone compact
duration elapsed interval time
element item entry value
email mail smtp address
empty blank clear zero
encode marshal serialize format
encrypt cipher seal
end finish suffix last
ensure guarantee check
enumerate list iterate all
environment env variable
equal same identical compare match
erase delete clear
error failure err
escape quote
evaluate compute run
event signal notification
examine inspect look
exchange swap
execute run exec start command
exist stat present
exit quit terminate
expand extend substitute
expression regexp pattern
extension ext suffix
extract get decode split
fail error panic
fetch get load retrieve
field member attribute
file document
fill pad repeat
filter select remove delete
find search index locate lookup
finish done end complete
first begin initial front
fixed constant
flag option argument
float floating real decimal
flush sync write
folder directory dir
force require
fork spawn process
format print layout convert
forward proxy redirect
fraction rational ratio
free release
generate create make produce
get fetch load read obtain
group batch cluster
halt stop
handle serve process handler
hash digest checksum sum
header prefix
hex hexadecimal base16
hide mask
host server domain
html markup
identifier name id
image picture
immediately now
increase add increment grow
index position offset
infinite inf infinity
info stat information
initialize init setup
input stdin reader
insert add put
inspect examine look
instant time moment
integer int number
interrupt signal
invoke call
iterate range loop walk each
job task
join concatenate combine concat
jump seek
keep retain preserve
key index
kill terminate signal
large big
last final end
launch start run
leading prefix left
length size len count
less smaller compare
letter character alphabetic
limit bound max restrict
line row newline
link symlink symbolic
list slice array enumerate
listen accept serve
load read open get
locate find lookup search
lock mutex exclusive
log logger record logging
logarithm log
lookup find search resolve
loop iterate
lower lowercase minimum
make create new
map dictionary hash
mark set flag
match equal pattern find
maximum max largest greatest
measure time duration elapsed
member element field
memory heap alloc
merge combine join
message text mail
method function func
middle between center
minimum min smallest least
miss absent
modify change update
module package
monitor watch notify
move rename
multiply product mul
name identifier
natural log
nearest round closest
nested recursive inner
network net tcp
newline line
notify signal broadcast
number numeric int count
object value
obtain get
octal base8
open create load
operating os system
order sort compare
output stdout writer
own owner chown
package module import
pad fill align
panic crash fail recover
parallel concurrent
parent directory base
parse decode read scan convert
part section component
password secret credential
path filename file
pattern regexp glob expression
pause sleep
percent escape
perform do execute
permission mode chmod
pick choose select
pipe stream
point position
pop remove
port address
position index offset location
power pow exponent
precision accuracy
prefix start leading hasprefix
present exist
preserve keep
prevent avoid
previous before last
print write output format
private secret
process program command
program executable command binary
progress status
protect guard mutex lock
query url parameter search
queue list
quote escape
random rand
range loop interval between
rate limit frequency
read load scan get
receive recv read accept
recover panic
recursive walk nested
redirect forward
reference pointer
reflect type
regular regexp expression
release free unlock close
remainder modulo mod
remove delete trim strip
rename move
repeat retry loop
replace substitute
report return check
request req
reset clear rewind
resolve lookup
response reply answer
restrict limit
result output return
resume continue
retrieve get fetch
return yield give
reverse backward
rewind seek
root top
round nearest ceil floor truncate
route handle mux
row line record
rune character unicode codepoint
run execute start
safe synchronized
same equal identical
save write store
scan read parse
schedule timer
search find index lookup
second time duration
section part
secure crypto tls
seek position offset
select choose
send write transmit
separate split divide
separator delimiter
sequence seq iterator
serialize marshal encode
serve handle listen
server listener host
set assign put
setup initialize configure
share shared
shell command
shift rotate
show display print
shrink compact clip
shuffle permute random
sign signature
signal notify interrupt
similar like
simple basic
size length len
skip discard
sleep pause wait
slice array list
smallest minimum min
socket connection net
sort order sorted
space whitespace
spawn start
specific particular
speed fast benchmark
split separate cut fields
spawn fork start
stack trace
start begin launch run
status state code
stop cancel halt close
store save write put
stream reader pipe
string text
strip trim remove
structure struct
substitute replace
substring contains index
subtract minus sub
suffix end trailing ext
sum total add checksum
swap exchange
symbolic link symlink
synchronize sync lock
system os
table map
tag label
task job goroutine
temporary temp tmp
terminate exit kill
test check
text string
thread goroutine
tick timer interval
timeout deadline
timestamp time unix
token lexeme
trace stack
trailing suffix right
transform convert map
transmit send
traverse walk iterate visit
tree walk
trigger fire signal
trim strip cut
truncate cut shorten
turn convert make
type kind
unbuffered direct
unescape unquote decode
unicode utf8 utf
unique distinct compact dedupe
unlock release
unmarshal decode parse
unpack extract decode
until before
unzip decompress
update change modify
upload send post
upper uppercase
url uri link
user account
valid check verify
validate valid check verify
value element
variable var
verify check validate
version release
visit walk traverse
wait block sleep
walk traverse visit
watch monitor notify
weekday day
whitespace space blank
whole entire full all
wipe clear
wrap embed enclose
write output print save
year date
zero empty nil
zone timezone location
`
