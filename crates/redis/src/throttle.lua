-- Failed logins of all instances: the rules of sso-core's LocalThrottle, by Redis' clock.
--
-- KEYS: 1 the account from this network, 2 its attempts under way, 3 the account, 4 its attempts
-- under way, 5 the network. A count has f failures, l the last one, s the last success; a pair has
-- c when it was last counted for its network, an account n its next turn over the cap. A network
-- has a field for each minute, and n.
-- ARGV: 1 admit | succeeded | failed | unjudged, 2 the attempt, 3 how long one may be under way,
-- 4 free attempts, 5 longest delay, 6 cap of the account, 7 accounts of the network, 8 forget a
-- pair, 9 forget an account, 10 pause of who failed before, 11 pause of the network; to admit also
-- 12 whether the network is known, and what the instance counted itself, of the pair 13 failures,
-- 14 age, 15 success, of the account 16, 17, 18. Times are in milliseconds.
-- Admitting answers verdict, wait, rule, then failures, age, success of the pair and the account.
local op, attempt, patience = ARGV[1], ARGV[2], tonumber(ARGV[3])
local function number(at) return tonumber(ARGV[at]) or 0 end
local free, longest, cap, accounts = number(4), number(5), number(6), number(7)
local forget_pair, forget_account, repeater, pause = number(8), number(9), number(10), number(11)
local WINDOW = 10
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local minute = math.floor(now / 60000)
local function whole(value) return string.format('%.0f', value) end

-- Nothing of the future counts: the clock of a master may be behind his predecessor's.
local function read(key, forget)
  local r = redis.call('HMGET', key, 'f', 'l', 's', 'n', 'c')
  local function at(index, most) return math.min(tonumber(r[index]) or 0, most) end
  local count = { f = at(1, 2147483647), l = at(2, now), s = at(3, now), n = at(4, now + longest), c = at(5, now) }
  if count.l + forget <= now then count.f, count.n, count.c = 0, 0, 0 end
  return count
end

local function write(key, count, forget)
  redis.call('HSET', key, 'f', whole(count.f), 'l', whole(count.l), 's', whole(count.s),
    'n', whole(count.n), 'c', whole(count.c))
  redis.call('PEXPIRE', key, whole(forget))
end

-- What the instance counted is the least, unless it has not heard of a success.
local function raise(key, count, forget, at)
  local failures, last = number(at), now - number(at + 1)
  if failures > count.f and count.s <= number(at + 2) and last + forget > now then
    count.f, count.l = failures, math.max(count.l, last)
    write(key, count, forget)
  end
end

local function under_way(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now))
  return redis.call('ZCARD', key)
end

local function network()
  local counted, next_turn = 0, 0
  local all = redis.call('HGETALL', KEYS[5])
  for i = 1, #all, 2 do
    local name = tonumber(all[i])
    if all[i] == 'n' then
      next_turn = math.min(tonumber(all[i + 1]) or 0, now + pause)
    elseif name and name > minute - WINDOW and name <= minute then
      counted = counted + (tonumber(all[i + 1]) or 0)
    else
      redis.call('HDEL', KEYS[5], all[i])
    end
  end
  return counted, next_turn
end

local function keep_network() redis.call('PEXPIRE', KEYS[5], whole((WINDOW + 1) * 60000)) end

local pair, account = read(KEYS[1], forget_pair), read(KEYS[3], forget_account)

if op ~= 'admit' then
  redis.call('ZREM', KEYS[2], attempt)
  redis.call('ZREM', KEYS[4], attempt)
  if op == 'succeeded' then
    -- Whoever signs in at once leaves nothing behind.
    for key, forget in pairs({ [KEYS[1]] = forget_pair, [KEYS[3]] = forget_account }) do
      if redis.call('EXISTS', key) == 1 then
        write(key, { f = 0, l = now, s = now, n = 0, c = 0 }, forget)
      end
    end
  elseif op == 'failed' then
    account.f, account.l = account.f + 1, now
    write(KEYS[3], account, forget_account)
    pair.f, pair.l = pair.f + 1, now
    if pair.c == 0 or pair.c + WINDOW * 60000 <= now then
      pair.c = now
      redis.call('HINCRBY', KEYS[5], whole(minute), 1)
      keep_network()
    end
    write(KEYS[1], pair, forget_pair)
  end
  return 0
end

raise(KEYS[1], pair, forget_pair, 13)
raise(KEYS[3], account, forget_account, 16)

local function answer(verdict, wait, rule)
  return { verdict, whole(wait), rule, whole(pair.f), whole(now - pair.l), whole(pair.s),
    whole(account.f), whole(now - account.l), whole(account.s) }
end

local of_pair = under_way(KEYS[2])
if pair.f < free then
  if pair.f + of_pair >= free then return answer('waits', 0, 'account_network') end
else
  local delay = math.min(1000 * 2 ^ math.min(pair.f - free, 30), longest)
  if of_pair > 0 then return answer('refused', delay, 'account_network') end
  local left = pair.l + delay - now
  if left > 0 then return answer('refused', left, 'account_network') end
end

if ARGV[12] ~= '1' then
  local capped = account.f + under_way(KEYS[4]) >= cap
  local counted, next_turn = network()
  local slowed = counted >= accounts
  local wait, rule = 0, ''
  if capped then
    local again = pair.f > 0 and pair.l + repeater or 0
    wait, rule = math.max(account.n, again) - now, 'account'
  end
  if slowed and next_turn - now >= wait then wait, rule = next_turn - now, 'network' end
  if wait > 0 then return answer('refused', wait, rule) end
  if capped then
    account.n = now + longest
    write(KEYS[3], account, forget_account)
  end
  if slowed then
    redis.call('HSET', KEYS[5], 'n', whole(now + pause))
    keep_network()
  end
end

for _, key in ipairs({ KEYS[2], KEYS[4] }) do
  redis.call('ZADD', key, whole(now + patience), attempt)
  redis.call('PEXPIRE', key, whole(patience))
end
return answer('admitted', 0, '')
