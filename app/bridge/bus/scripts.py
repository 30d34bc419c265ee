"""What Redis does in one step: scripts in Lua, with the time of its own clock."""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

#: KEYS: the owner of each call. ARGV: replica, lease in ms, then for each call its epoch, and 1 for
#: a claim: the owner is new. A claim takes over from an owner of the same epoch. Returns, for each
#: call that has another owner, its position and that owner's epoch.
RENEW_OWNERS = """
local lost = {}
for i, key in ipairs(KEYS) do
  local epoch, claim = tonumber(ARGV[2 * i + 1]), ARGV[2 * i + 2] == '1'
  local owner, theirs = string.match(redis.call('GET', key) or '', '^(%x+) (%d+)$')
  if not owner or owner == ARGV[1] or tonumber(theirs) < epoch
      or claim and tonumber(theirs) == epoch then
    redis.call('SET', key, ARGV[1] .. ' ' .. ARGV[2 * i + 1], 'PX', ARGV[2])
  else
    lost[#lost + 1] = i
    lost[#lost + 1] = tonumber(theirs)
  end
end
return lost
"""

#: KEYS: owners of calls. ARGV: the replica that gives them up.
RELEASE_OWNERS = """
for _, key in ipairs(KEYS) do
  if string.match(redis.call('GET', key) or '', '^(%x+) ') == ARGV[1] then
    redis.call('DEL', key)
  end
end
"""

#: KEYS: the replica's entry, the list of replicas. ARGV: replica, entry, lease in ms. Returns the
#: time in ms, and whether the replica's entry was there.
REGISTER_REPLICA = (
    _NOW
    + """
local there = redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {now, there}
"""
)

#: KEYS: the replica's entry, the list of replicas. ARGV: replica.
REMOVE_REPLICA = """
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
"""

#: KEYS: what may be done once. ARGV: a random text for this request, which may be sent twice;
#: milliseconds. Returns 0, or the milliseconds until it may be done.
ONCE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
    or redis.call('GET', KEYS[1]) == ARGV[1] then
  return 0
end
return math.max(1, redis.call('PTTL', KEYS[1]))
"""

#: KEYS: the places. ARGV: who takes one, how many there are (-1: take one in any case),
#: milliseconds. A place that is held for longer stays so. Returns 1, or 0 if all are taken.
RESERVE = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local most, held = tonumber(ARGV[2]), redis.call('ZSCORE', KEYS[1], ARGV[1])
if most >= 0 and not held and redis.call('ZCARD', KEYS[1]) >= most then
  return 0
end
redis.call('ZADD', KEYS[1], math.max(now + ARGV[3], tonumber(held or 0)), ARGV[1])
redis.call('PEXPIREAT', KEYS[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
return 1
"""
)
